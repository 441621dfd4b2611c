#include "cli/box_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

namespace caisson::cli {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

constexpr CommandText kText = {"run", "", "", ""};

struct Outcome {
  BoxOptions options;
  std::optional<int> status;
  std::string out;
  std::string err;
};

Outcome read(std::vector<std::string> words) {
  std::vector<char*> args;
  for (std::string& word : words) args.push_back(word.data());
  Outcome outcome;
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  outcome.status = parse_box(kText, args, outcome.options);
  outcome.out = testing::internal::GetCapturedStdout();
  outcome.err = testing::internal::GetCapturedStderr();
  return outcome;
}

BoxSpec spec_of(std::vector<std::string> words) {
  words.insert(words.end(), {"host:", "--", "true"});
  auto outcome = read(words);
  EXPECT_FALSE(outcome.status) << outcome.err;
  return outcome.options.spec;
}

TEST(BoxOptions, SourceAndCommand) {
  const BoxSpec spec = read({"--rm", "host:", "--", "sh", "-c", "exit 7", "--rm"}).options.spec;
  EXPECT_EQ(spec.source, "host:");
  EXPECT_THAT(spec.command, ElementsAre("sh", "-c", "exit 7", "--rm"));
  EXPECT_TRUE(spec.auto_remove);
}

TEST(BoxOptions, Limits) {
  const Limits limits = spec_of({"-m",     "64m",          "--cpus=1.5", "--cpu-weight",
                                 "50",     "--pids-limit", "9",          "--timeout",
                                 "1500ms", "--cpu-time",   "2",          "--open-files",
                                 "7",      "--file-size",  "1k",         "--disk",
                                 "1g",     "--tmpfs-size", "2k",         "--output-limit",
                                 "5:kill"})
                            .limits;
  EXPECT_EQ(limits.memory_bytes, 64u << 20);
  EXPECT_EQ(limits.cpus, 1.5);
  EXPECT_EQ(limits.cpu_weight, 50u);
  EXPECT_EQ(limits.pids, 9u);
  EXPECT_EQ(limits.wall_time, milliseconds(1500));
  EXPECT_EQ(limits.cpu_time, milliseconds(2000));
  EXPECT_EQ(limits.open_files, 7u);
  EXPECT_EQ(limits.file_size_bytes, 1024u);
  EXPECT_EQ(limits.disk_bytes, 1u << 30);
  EXPECT_EQ(limits.tmpfs_bytes, 2048u);
  EXPECT_EQ(limits.output, (OutputLimit{5, OutputAction::kKill}));
}

TEST(BoxOptions, DockerSpellingOfOpenFiles) {
  EXPECT_EQ(spec_of({"--ulimit", "nofile=64"}).limits.open_files, 64u);
  EXPECT_EQ(spec_of({"--ulimit", "nofile=64:64"}).limits.open_files, 64u);
  EXPECT_EQ(read({"--ulimit", "nofile=64:65", "host:", "x"}).status, 125);
  EXPECT_EQ(read({"--ulimit", "core=0", "host:", "x"}).status, 125);
}

TEST(BoxOptions, EverythingElse) {
  const BoxSpec spec = spec_of({"--name",
                                "n",
                                "-w",
                                "/w",
                                "-u",
                                "1:2",
                                "--group-add",
                                "3",
                                "--group-add",
                                "g",
                                "--hostname",
                                "h",
                                "-v",
                                "/a:/b:ro",
                                "--tmpfs",
                                "/t",
                                "--read-only",
                                "--network",
                                "host",
                                "-it",
                                "-l",
                                "a=b=c",
                                "--label",
                                "d",
                                "--profile",
                                "minimal",
                                "--stop-signal",
                                "INT",
                                "--allow-missing",
                                "memory,pids",
                                "--security",
                                "seccomp=unconfined",
                                "--isolation",
                                "container"});
  EXPECT_EQ(spec.name, "n");
  EXPECT_EQ(spec.workdir, "/w");
  EXPECT_EQ(spec.user, "1:2");
  EXPECT_THAT(spec.groups, ElementsAre("3", "g"));
  EXPECT_EQ(spec.hostname, "h");
  ASSERT_EQ(spec.mounts.size(), 2u);
  EXPECT_TRUE(spec.mounts[0].read_only);
  EXPECT_EQ(spec.mounts[1].type, MountType::kTmpfs);
  EXPECT_TRUE(spec.read_only_root && spec.open_stdin && spec.tty);
  EXPECT_EQ(spec.network, Network::kUnsafeHostNetwork);
  EXPECT_THAT(spec.labels, ElementsAre(Pair("a", "b=c"), Pair("d", "")));
  EXPECT_EQ(spec.profile, Profile::kMinimal);
  EXPECT_EQ(spec.stop_signal, "INT");
  EXPECT_THAT(spec.allow_missing, ElementsAre("memory", "pids"));
  EXPECT_EQ(spec.security.seccomp, SeccompMode::kUnconfined);
}

TEST(BoxOptions, AnImageNeedsNoCommand) {
  const BoxSpec spec = read({"alpine:3.20"}).options.spec;
  EXPECT_EQ(spec.source, "alpine:3.20");
  EXPECT_THAT(spec.command, ElementsAre());
  EXPECT_EQ(spec.entrypoint, std::nullopt);
  EXPECT_THAT(read({"alpine", "--"}).options.spec.command, ElementsAre());
  EXPECT_THAT(read({"alpine", "--", "sh"}).options.spec.command, ElementsAre("sh"));
  EXPECT_THAT(read({"dir:/srv"}).err, HasSubstr("COMMAND is missing"));
}

TEST(BoxOptions, OptionsOfImages) {
  auto outcome = read({"--pull", "always", "--platform", "linux/arm64", "--rootfs", "merged", "-q",
                       "--entrypoint", "/bin/sh", "oci:/srv/image:1", "-c", "true"});
  EXPECT_TRUE(outcome.options.quiet);
  const BoxSpec& spec = outcome.options.spec;
  EXPECT_EQ(spec.pull, PullPolicy::kAlways);
  EXPECT_EQ(spec.platform, "linux/arm64");
  EXPECT_EQ(spec.rootfs, RootfsStrategy::kMerged);
  EXPECT_THAT(*spec.entrypoint, ElementsAre("/bin/sh"));
  EXPECT_EQ(spec.source, "oci:/srv/image:1");
  EXPECT_THAT(spec.command, ElementsAre("-c", "true"));
  EXPECT_EQ(read({"--pull", "sometimes", "alpine"}).status, 125);
  EXPECT_EQ(read({"--rootfs", "cloud", "alpine"}).status, 125);
}

TEST(BoxOptions, EntrypointIsAWordOrAList) {
  const auto entrypoint = [](const std::string& value) {
    return *read({"--entrypoint", value, "alpine"}).options.spec.entrypoint;
  };
  EXPECT_THAT(entrypoint("a b"), ElementsAre("a b"));
  EXPECT_THAT(entrypoint(R"(["sh", "-c"])"), ElementsAre("sh", "-c"));
  EXPECT_THAT(entrypoint(""), ElementsAre());
  EXPECT_EQ(read({"--entrypoint", "[1]", "alpine"}).status, 125);
  EXPECT_EQ(read({"--entrypoint", "[\"sh\"", "alpine"}).status, 125);
}

TEST(BoxOptions, RelativePathsOfImagesCountFromHere) {
  const std::string source = read({"oci-archive:a.tar:tag"}).options.spec.source;
  EXPECT_THAT(source, ::testing::MatchesRegex("oci-archive:/.*/a.tar:tag"));
}

TEST(BoxOptions, SeccompPolicyIsReadFromItsFile) {
  const std::string path = testing::TempDir() + "policy.json";
  std::ofstream(path) << "{}";
  const SecurityOptions security = spec_of({"--security", "seccomp=" + path}).security;
  EXPECT_EQ(security.seccomp, SeccompMode::kCustom);
  EXPECT_EQ(security.seccomp_policy, "{}");
  EXPECT_THAT(read({"--security", "seccomp=/does/not/exist", "host:", "x"}).err,
              HasSubstr("open '/does/not/exist': No such file or directory"));
  EXPECT_EQ(read({"--security", "unconfined", "host:", "x"}).status, 125);
}

TEST(BoxOptions, OverTheProfile) {
  const BoxSpec spec = spec_of({"--cap-add", "net_raw,CHOWN", "--cap-add", "KILL", "--cap-drop",
                                "ALL", "--security-opt", "no-new-privileges:false", "--writable",
                                "--protect", "/a", "--protect", ".b/", "--no-default-protect"});
  EXPECT_THAT(spec.security.cap_add, ElementsAre("CHOWN", "KILL", "net_raw"));
  EXPECT_THAT(spec.security.cap_drop, ElementsAre("ALL"));
  EXPECT_EQ(spec.security.no_new_privileges, false);
  EXPECT_EQ(spec.read_only_root, false);
  EXPECT_THAT(spec.protect, ElementsAre("/a", ".b/"));
  EXPECT_EQ(spec.protect_defaults, false);
  EXPECT_EQ(spec_of({"--security", "no-new-privileges"}).security.no_new_privileges, true);
  EXPECT_EQ(spec_of({"--security", "no-new-privileges=true"}).security.no_new_privileges, true);
  EXPECT_EQ(read({"--security", "no-new-privileges=maybe", "host:", "x"}).status, 125);
  EXPECT_EQ(read({"--security", "seccomp=", "host:", "x"}).status, 125);
  EXPECT_EQ(spec_of({}).security, SecurityOptions{});
}

TEST(BoxOptions, PathsOfTheHost) {
  const std::string here = working_directory();
  const BoxSpec spec = spec_of({"--allow-ro", "a/", "--allow-rw", "/b", "--allow-read", ".",
                                "--allow-write", "../w", "--allow-exec", "/x", "--allow-exec", "y",
                                "--allow-connect-port", "80,443", "--allow-bind-port", "8080"});
  ASSERT_EQ(spec.mounts.size(), 2u);
  EXPECT_EQ(spec.mounts[0],
            (Mount{.source = here + "/a", .target = here + "/a", .read_only = true}));
  EXPECT_EQ(spec.mounts[1], (Mount{.source = "/b", .target = "/b"}));
  EXPECT_THAT(spec.access.read, ElementsAre(here));
  EXPECT_THAT(spec.access.write, ElementsAre(here.substr(0, here.rfind('/')) + "/w"));
  EXPECT_THAT(spec.access.execute, ElementsAre("/x", here + "/y"));
  EXPECT_THAT(spec.access.connect_ports, ElementsAre(80, 443));
  EXPECT_THAT(spec.access.bind_ports, ElementsAre(8080));
  for (const char* bad : {"0", "65536", "http", "80,x", "-1"})
    EXPECT_EQ(read({"--allow-bind-port", bad, "host:", "x"}).status, 125) << bad;
}

TEST(BoxOptions, AbsentLimitsStayAbsent) { EXPECT_EQ(spec_of({}).limits, Limits{}); }

TEST(BoxOptions, FaultsAreOneLine) {
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{},
                                             {"host:"},
                                             {"host:", "--"},
                                             {"--memory", "lots", "host:", "x"},
                                             {"--cpus", "1x", "host:", "x"},
                                             {"--pids", "-1", "host:", "x"},
                                             {"--nope\n\x1b[2J", "host:", "x"},
                                             {"-e", "=v", "host:", "x"},
                                             {"--env-file", "/does/not/exist", "host:", "x"}}) {
    auto outcome = read(words);
    EXPECT_EQ(outcome.status, 125);
    EXPECT_TRUE(outcome.err.starts_with("caisson: ")) << outcome.err;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    EXPECT_EQ(outcome.err.find('\x1b'), std::string::npos);
    EXPECT_EQ(outcome.out, "");
  }
}

TEST(BoxOptions, FaultsAreAlsoJson) {
  auto outcome = read({"--json", "host:"});
  EXPECT_EQ(outcome.status, 125);
  EXPECT_THAT(outcome.out,
              HasSubstr(R"({"error":{"code":"INVALID_ARGUMENT","reason":"command_missing")"));
}

}  // namespace
}  // namespace caisson::cli
