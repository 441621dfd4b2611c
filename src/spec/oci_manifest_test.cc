#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "spec/oci.h"

namespace caisson::spec {
namespace {

using nlohmann::json;
using namespace std::string_literals;

constexpr const char* kManifest = "application/vnd.oci.image.manifest.v1+json";
constexpr const char* kIndex = "application/vnd.oci.image.index.v1+json";
constexpr const char* kDockerManifest = "application/vnd.docker.distribution.manifest.v2+json";
constexpr const char* kConfig = "application/vnd.oci.image.config.v1+json";
constexpr const char* kLayer = "application/vnd.oci.image.layer.v1.tar+gzip";

std::string digest(char c) { return "sha256:" + std::string(64, c); }

json descriptor(const char* type, char c, std::uint64_t size = 10) {
  return {{"mediaType", type}, {"digest", digest(c)}, {"size", size}};
}

json manifest(std::size_t layers = 1) {
  json list = json::array();
  for (std::size_t i = 0; i < layers; ++i) list.push_back(descriptor(kLayer, 'b'));
  return {{"schemaVersion", 2},
          {"mediaType", kManifest},
          {"config", descriptor(kConfig, 'a')},
          {"layers", list}};
}

json index(json manifests) { return {{"schemaVersion", 2}, {"manifests", std::move(manifests)}}; }

std::string refusal(const json& document, std::string_view said = "") {
  const auto result = parse_manifest(document.dump(), said);
  if (result) return "";
  EXPECT_EQ(result.error().message.find('\n'), std::string::npos);
  return result.error().reason;
}

std::string changed(const char* pointer, json value) {
  json document = manifest();
  document[json::json_pointer(pointer)] = std::move(value);
  return refusal(document);
}

Result<Descriptor> chosen(json manifests, const char* platform = "amd64") {
  const auto parsed = parse_manifest(index(std::move(manifests)).dump(), "");
  EXPECT_TRUE(parsed) << parsed.error().message;
  return choose_platform(std::get<IndexDoc>(*parsed), parse_platform(platform).value());
}

json entry(char c, const char* os, const char* architecture, const char* variant = nullptr) {
  json result = descriptor(kManifest, c);
  result["platform"] = {{"os", os}, {"architecture", architecture}};
  if (variant != nullptr) result["platform"]["variant"] = variant;
  return result;
}

TEST(Manifest, ReadsBothKinds) {
  const auto parsed = parse_manifest(manifest(2).dump(), "");
  ASSERT_TRUE(parsed);
  const auto& doc = std::get<ManifestDoc>(*parsed);
  EXPECT_EQ(doc.media_type, kManifest);
  EXPECT_EQ(doc.config.digest, digest('a'));
  ASSERT_EQ(doc.layers.size(), 2u);
  EXPECT_EQ(doc.layers[1].size, 10u);
  const auto list = parse_manifest(index({entry('c', "linux", "arm64")}).dump(), "");
  ASSERT_TRUE(list);
  EXPECT_EQ(to_string(*std::get<IndexDoc>(*list).manifests.at(0).platform), "linux/arm64/v8");
}

TEST(Manifest, TypesMustAgree) {
  json silent = manifest();
  silent.erase("mediaType");
  EXPECT_EQ(refusal(silent), "");
  EXPECT_EQ(refusal(silent, "application/json"), "");
  EXPECT_EQ(refusal(silent, std::string(kDockerManifest) + "; charset=utf-8"), "");
  EXPECT_EQ(refusal(silent, kIndex), "manifest_invalid");
  EXPECT_EQ(refusal(manifest(), kDockerManifest), "manifest_invalid");
  EXPECT_EQ(changed("/mediaType", kIndex), "manifest_invalid");
  EXPECT_EQ(changed("/mediaType", "application/x"), "media_type_unsupported");
  EXPECT_EQ(changed("/manifests", json::array()), "manifest_invalid") << "both";
  EXPECT_EQ(refusal({{"schemaVersion", 2}}), "manifest_invalid") << "neither";
}

TEST(Manifest, WhatIsNotSupported) {
  EXPECT_EQ(changed("/schemaVersion", 1), "media_type_unsupported");
  EXPECT_EQ(changed("/signatures", json::array()), "media_type_unsupported");
  EXPECT_EQ(changed("/config/mediaType", "application/vnd.cncf.helm.config.v1+json"),
            "media_type_unsupported");
  EXPECT_EQ(layer_compression("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip")
                .error()
                .reason,
            "layer_foreign");
  EXPECT_EQ(
      layer_compression("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip").error().reason,
      "layer_foreign");
  EXPECT_EQ(layer_compression("text/html").error().reason, "media_type_unsupported");
  EXPECT_EQ(layer_compression(kLayer).value(), Compression::kGzip);
  EXPECT_EQ(layer_compression("application/vnd.oci.image.layer.v1.tar+zstd").value(),
            Compression::kZstd);
  EXPECT_EQ(layer_compression("application/vnd.docker.image.rootfs.diff.tar").value(),
            Compression::kNone);
}

TEST(Manifest, WrongValues) {
  for (const json& bad : {json(nullptr), json(1), json(""), json("sha256:x"), json(digest('g')),
                          json("sha512:" + std::string(128, 'a')), json("../../etc/passwd")})
    EXPECT_EQ(changed("/layers/0/digest", bad), "manifest_invalid") << bad;
  for (const json& bad :
       {json(nullptr), json(-1), json(1.5), json("1"), json(UINT64_MAX), json((1ull << 42) + 1)})
    EXPECT_EQ(changed("/layers/0/size", bad), "manifest_invalid") << bad;
  EXPECT_EQ(changed("/config/size", 5 << 20), "manifest_invalid");
  for (const char* pointer : {"/config", "/layers", "/layers/0", "/schemaVersion", "/mediaType"})
    for (const json& bad : {json(true), json(7), json({{"a", 1}}), json::array({1})})
      EXPECT_NE(changed(pointer, bad), "") << pointer << bad;
  EXPECT_EQ(changed("/layers/0/platform", 1), "manifest_invalid");
  EXPECT_EQ(changed("/layers/0/annotations", json::array()), "manifest_invalid");
  EXPECT_EQ(changed("/layers/0/mediaType", "a\0b"s), "manifest_invalid");
}

TEST(Manifest, Bombs) {
  EXPECT_EQ(refusal(manifest(0)), "manifest_invalid");
  EXPECT_EQ(refusal(manifest(kMostLayers)), "");
  EXPECT_EQ(refusal(manifest(kMostLayers + 1)), "too_many_layers");
  std::string many = R"({"schemaVersion":2,"config":{},"layers":[{})";
  for (int i = 0; i < 1'000'000; ++i) many += ",{}";
  for (const std::string& bomb :
       {std::string(4u << 20, '['), many + "]}", ""s, "null"s, "[]"s,
        R"({"schemaVersion":2,"layers":[],"layers":[]})"s, R"({"a":)" + std::string(1u << 20, '{')})
    EXPECT_EQ(parse_manifest(bomb, "").error().reason, "manifest_invalid") << bomb.substr(0, 30);
}

TEST(ChoosePlatform, ExactThenFitting) {
  EXPECT_EQ(chosen({entry('1', "linux", "arm64"), entry('2', "linux", "amd64", "v3"),
                    entry('3', "linux", "amd64")})
                ->digest,
            digest('3'));
  EXPECT_EQ(chosen({entry('1', "windows", "amd64"), entry('2', "linux", "amd64", "v3")})->digest,
            digest('2'));
  EXPECT_EQ(chosen({entry('1', "linux", "arm64")}, "arm64")->digest, digest('1'));
  EXPECT_EQ(
      chosen({entry('5', "linux", "arm", "v5"), entry('7', "linux", "arm", "v7")}, "arm")->digest,
      digest('7'));
}

TEST(ChoosePlatform, PassesOverWhatIsNoImage) {
  json attestation = entry('1', "unknown", "unknown");
  json artifact = descriptor("application/vnd.example+json", '2');
  EXPECT_EQ(chosen({attestation, artifact, descriptor(kManifest, '3')})->digest, digest('3'));
  EXPECT_FALSE(chosen({attestation, artifact}));
  EXPECT_FALSE(chosen({descriptor(kManifest, '3'), descriptor(kManifest, '4')}));
}

TEST(ChoosePlatform, SaysWhatThereIs) {
  const auto none = chosen({entry('1', "linux", "arm64"), entry('2', "windows", "a\nmd")});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().reason, "platform_not_found");
  EXPECT_EQ(none.error().code, Code::kNotFound);
  EXPECT_EQ(none.error().hint, "there are: 'linux/arm64/v8', 'windows/a\\x0amd'");
  json many = json::array();
  for (int i = 0; i < 1000; ++i)
    many.push_back(entry('1', "linux", ("x" + std::to_string(i)).c_str()));
  EXPECT_LT(chosen(many).error().hint.size(), 1000u);
  EXPECT_FALSE(chosen(json::array()));
}

TEST(Index, ReadsNames) {
  json both = entry('1', "linux", "amd64");
  both["annotations"] = {{"org.opencontainers.image.ref.name", "1"},
                         {"io.containerd.image.name", "docker.io/library/a:1"}};
  const Descriptor read = chosen({both}).value();
  EXPECT_EQ(read.ref_name, "1");
  EXPECT_EQ(read.image_name, "docker.io/library/a:1");
}

TEST(MakeManifest, IsReadBackAndDeterministic) {
  const Descriptor config{.media_type = kConfig, .digest = digest('a'), .size = 3};
  const std::vector<Descriptor> layers = {{.media_type = kLayer, .digest = digest('b'), .size = 4}};
  const std::string text = make_manifest(config, layers);
  EXPECT_EQ(text, make_manifest(config, layers));
  const auto parsed = parse_manifest(text, kManifest);
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(std::get<ManifestDoc>(*parsed).config, config);
  EXPECT_EQ(std::get<ManifestDoc>(*parsed).layers, layers);
}

TEST(SavedImages, BothIndexesAreReadBack) {
  SavedImage image{{.media_type = kManifest, .digest = digest('a'), .size = 3},
                   {"docker.io/library/a:1", "h.example/b@" + digest('c')},
                   "blobs/sha256/c",
                   {"blobs/sha256/d"}};
  image.manifest.platform = Platform{"linux", "arm64", "v8"};
  const auto parsed = parse_manifest(make_index({image}), "");
  ASSERT_TRUE(parsed) << parsed.error().message;
  const auto& manifests = std::get<IndexDoc>(*parsed).manifests;
  ASSERT_EQ(manifests.size(), 2u);
  EXPECT_EQ(manifests[0].ref_name, "docker.io/library/a:1");
  EXPECT_EQ(manifests[1].platform, image.manifest.platform);
  const auto entries = parse_docker_archive(make_docker_manifest({image}));
  ASSERT_TRUE(entries);
  ASSERT_EQ(entries->size(), 1u);
  EXPECT_EQ(entries->at(0).repo_tags, (std::vector<std::string>{"a:1"}));
  EXPECT_EQ(entries->at(0).layers, image.layer_paths);
}

TEST(DockerArchive, Refuses) {
  for (const char* bad :
       {"", "{}", "[]", "[1]", "[{}]", R"([{"Config":"a"}])", R"([{"Config":"a","Layers":[1]}])",
        R"([{"Config":"../a","Layers":["b"]}])", R"([{"Config":"/a","Layers":["b"]}])",
        R"([{"Config":"a","Layers":["b/../../c"]}])", R"([{"Config":"a","Layers":["b\u0000"]}])",
        R"([{"Config":"a","Layers":["b"],"RepoTags":{}}])"})
    EXPECT_EQ(parse_docker_archive(bad).error().reason, "archive_invalid") << bad;
  EXPECT_TRUE(parse_docker_archive(R"([{"Config":"a","Layers":["b"],"RepoTags":null}])"));
}

}  // namespace
}  // namespace caisson::spec
