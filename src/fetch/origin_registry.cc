#include "fetch/origin.h"
#include "fetch/registry/registry.h"

namespace caisson::fetch {
namespace {

class RegistryOrigin final : public Origin {
 public:
  RegistryOrigin(std::unique_ptr<Registry> registry, const image::PullRequest& request)
      : registry_(std::move(registry)), request_(request) {}

  Result<std::vector<WantedImage>> wanted() override {
    const std::string& what = request_.digest.empty() ? request_.tag : request_.digest;
    Registry::Document found = TRY(registry_->manifest(what));
    return std::vector<WantedImage>{
        {{std::move(found.text), std::move(found.media_type)}, {request_.name}}};
  }
  Result<Document> document(const spec::Descriptor& descriptor) override {
    Registry::Document found = TRY(registry_->manifest(descriptor.digest));
    return Document{std::move(found.text), std::move(found.media_type)};
  }
  Result<std::string> small_blob(const spec::Descriptor& descriptor) override {
    return registry_->blob(descriptor);
  }
  void download(const spec::Descriptor& descriptor, int fd, std::uint64_t offset, Progress progress,
                Done done) override {
    registry_->download(descriptor, fd, offset, std::move(progress), std::move(done));
  }
  Result<> step(int timeout_ms, std::span<const int> others) override {
    return registry_->step(timeout_ms, others);
  }

 private:
  std::unique_ptr<Registry> registry_;
  const image::PullRequest& request_;  // of the source, which lives longer
};

}  // namespace

Result<std::unique_ptr<Origin>> open_registry(const image::PullRequest& request,
                                              std::function<void(std::string)> retry) {
  std::unique_ptr<Registry> registry = TRY(
      Registry::open(request.endpoints, {request.http_proxy, request.https_proxy, request.no_proxy},
                     request.reference, {std::move(retry)}));
  return std::unique_ptr<Origin>(std::make_unique<RegistryOrigin>(std::move(registry), request));
}

}  // namespace caisson::fetch
