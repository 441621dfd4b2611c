// What to ask caisson-fetch for.
#include <fcntl.h>

#include "engine/pull_impl.h"
#include "image/registry_config.h"

namespace caisson::engine {
namespace {

image::SourceKind kind_of(spec::SourceType type) {
  switch (type) {
    case spec::SourceType::kOciDirectory:
      return image::SourceKind::kOciDirectory;
    case spec::SourceType::kOciArchive:
      return image::SourceKind::kOciArchive;
    case spec::SourceType::kDockerArchive:
      return image::SourceKind::kDockerArchive;
    default:
      return image::SourceKind::kRegistry;
  }
}

/// With the caller's own rights: a pull reads nothing that the caller could not.
Result<Fd> open_source(const spec::ImageSource& source) {
  const bool directory = source.type == spec::SourceType::kOciDirectory;
  Result<Fd> opened = open_fd(source.path, O_RDONLY | O_NONBLOCK | (directory ? O_DIRECTORY : 0));
  if (opened) return opened;
  Error error = errno_error(opened.error().sys_errno, "open image source", source.path);
  error.reason = "source_missing";
  error.hint = directory ? "it takes a directory with an OCI layout" : "it takes a file";
  return error;
}

/// The id of the image under the name, when it will do for the platform that was asked for. A
/// manifest's digest says it all, whatever the name.
Result<std::string> known_image(const Runtime::Impl& runtime, const spec::ImageRef& ref,
                                const PullSpec& spec) {
  std::optional<std::string> id = TRY(runtime.images.named(spec::canonical(ref)));
  if (!id && !ref.digest.empty() && TRY(runtime.images.find(ref.digest))) id = ref.digest;
  if (!id || spec.platform.empty()) return id.value_or("");
  const spec::Platform wanted = TRY(spec::parse_platform(spec.platform));
  const std::optional<store::ImageRow> row = TRY(runtime.images.find(*id));
  if (!row || !spec::fits(wanted, {row->os, row->architecture, row->variant})) return std::string();
  return *id;
}

Result<> plan_registry(const Runtime::Impl& runtime, const PullSpec& spec, PullPlan& plan) {
  const spec::ImageRef& ref = plan.source.ref;
  plan.request.name = spec::canonical(ref);
  plan.request.tag = ref.tag;
  plan.request.digest = ref.digest;
  if (spec.policy != PullPolicy::kAlways) {
    plan.known = TRY(known_image(runtime, ref, spec));
    if (!plan.known.empty()) return {};
    if (spec.policy == PullPolicy::kNever)
      return make_error(
          Code::kNotFound, "image_not_found",
          format("find image '{}': it is not here, and not to be pulled", plan.request.name),
          format("caisson pull {}", spec::familiar(ref)));
  }
  const image::RegistryConfig config = TRY(image::load_registry_config());
  plan.request.endpoints = TRY(image::endpoints(ref, config, image::CredentialStore()));
  image::Proxies proxies = image::proxies(image::process_variable);
  plan.request.http_proxy = std::move(proxies.http);
  plan.request.https_proxy = std::move(proxies.https);
  plan.request.no_proxy = std::move(proxies.none);
  return {};
}

}  // namespace

Result<PullPlan> plan_pull(const Runtime::Impl& runtime, const PullSpec& spec) {
  PullPlan plan;
  plan.source = TRY(spec::parse_source(spec.source));
  if (plan.source.type == spec::SourceType::kHost ||
      plan.source.type == spec::SourceType::kDirectory)
    return make_error(Code::kInvalidArgument, "source_unknown",
                      format("pull '{}': that is no image", spec.source),
                      "give docker://REF, oci:DIR, oci-archive:FILE or docker-archive:FILE");
  const spec::Platform platform =
      spec.platform.empty() ? spec::host_platform() : TRY(spec::parse_platform(spec.platform));
  plan.request.kind = kind_of(plan.source.type);
  plan.request.reference = spec.source;
  plan.request.all_images = spec.all_images;
  plan.request.os = platform.os;
  plan.request.architecture = platform.architecture;
  plan.request.variant = platform.variant;
  plan.request.platform_asked = !spec.platform.empty();
  if (plan.source.type == spec::SourceType::kRegistry) {
    TRY(plan_registry(runtime, spec, plan));
  } else {
    plan.request.tag = plan.source.name;
    plan.opened = TRY(open_source(plan.source));
  }
  return plan;
}

}  // namespace caisson::engine
