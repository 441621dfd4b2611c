#include "fetch/registry/http_text.h"

#include <gtest/gtest.h>

#include "fetch/registry/http.h"
#include "fetch/registry/url.h"

namespace caisson::fetch {
namespace {

TEST(HttpText, content_range_is_read_strictly) {
  EXPECT_EQ(parse_content_range("bytes 5-9/10"), (ContentRange{5, 9, 10}));
  for (const char* bad :
       {"", "bytes 5-9/*", "bytes 5-10/10", "bytes 9-5/10", "5-9/10", "bytes -9/10",
        "bytes 5-9/10 ", "bytes 5-9", "bytes 18446744073709551616-1/2"})
    EXPECT_FALSE(parse_content_range(bad)) << bad;
}

TEST(HttpText, retry_after_is_seconds_or_a_date) {
  EXPECT_EQ(parse_retry_after("7", 0), 7);
  EXPECT_EQ(parse_retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 50), 10);
  EXPECT_EQ(parse_retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 100), 0);
  EXPECT_FALSE(parse_retry_after("soon", 0));
  EXPECT_FALSE(parse_retry_after("", 0));
}

TEST(HttpText, pauses_grow_and_differ) {
  EXPECT_EQ(back_off_ms(2, 0), 375);
  EXPECT_EQ(back_off_ms(3, 0), 750);
  EXPECT_LT(back_off_ms(5, 0), back_off_ms(5, 999));
  EXPECT_EQ(back_off_ms(100, 0), back_off_ms(7, 0));
}

TEST(HttpText, a_registry_cannot_write_to_the_terminal) {
  EXPECT_EQ(error_message("{\"errors\":[{\"code\":\"X\",\"message\":\"a\\u001b[31mb\"}]}"),
            "a?[31mb");
  EXPECT_EQ(error_message("{\"errors\":[{\"code\":\"DENIED\"}]}"), "DENIED");
  for (const char* none : {"", "[]", "{}", "{\"errors\":[]}", "{\"errors\":[1]}", "<html>"})
    EXPECT_EQ(error_message(none), "") << none;
  EXPECT_LE(shown(std::string(1000, 'x')).size(), 203u);
}

TEST(HttpText, headers_count_and_the_last_answer_counts) {
  HttpResponse response;
  EXPECT_TRUE(response.take("HTTP/1.1 100 Continue\r\n"));
  EXPECT_TRUE(response.take("Location: /old\r\n"));
  EXPECT_TRUE(response.take("HTTP/1.1 200 OK\r\n"));
  EXPECT_TRUE(response.take("Content-TYPE:  a/b; charset=utf-8\r\n"));
  EXPECT_TRUE(response.take("WWW-Authenticate: Basic realm=\"a\"\r\n"));
  EXPECT_TRUE(response.take("www-authenticate: Bearer realm=\"b\"\r\n"));
  EXPECT_EQ(response.location, "");
  EXPECT_EQ(response.content_type, "a/b");
  EXPECT_EQ(response.challenges, "Basic realm=\"a\", Bearer realm=\"b\"");
  bool taken = true;
  for (int i = 0; i < 100 && taken; ++i) taken = response.take(std::string(4096, 'h'));
  EXPECT_FALSE(taken);
}

TEST(HttpText, a_star_keeps_from_every_proxy) {
  EXPECT_EQ(no_proxy_list("*"), "*");
  EXPECT_EQ(no_proxy_list(" * "), "*");
  EXPECT_EQ(no_proxy_list("a.example"), "localhost,127.0.0.1,::1,a.example");
}

TEST(Url, origins_are_compared_with_their_ports) {
  EXPECT_EQ(origin_of("https://A.example/x").value(), origin_of("https://a.example:443/y").value());
  EXPECT_NE(origin_of("http://a/").value(), origin_of("https://a/").value());
  EXPECT_NE(origin_of("https://a:444/").value(), origin_of("https://a/").value());
  EXPECT_FALSE(origin_of("file:///etc/passwd"));
  EXPECT_FALSE(origin_of("gopher://a/"));
  EXPECT_FALSE(origin_of(""));
  // What stands before the @ is no host.
  EXPECT_EQ(origin_of("https://good.example@evil.example/").value().host, "evil.example");
}

TEST(Url, redirects_are_resolved) {
  EXPECT_EQ(resolve_url("https://a/v2/x", "/y?z=1").value(), "https://a/y?z=1");
  EXPECT_EQ(resolve_url("https://a/v2/x", "//b/y").value(), "https://b/y");
  EXPECT_EQ(resolve_url("https://a/v2/x", "http://c/").value(), "http://c/");
  EXPECT_EQ(with_query("https://a/t?x=1", "scope", "repository:a/b:pull").value(),
            "https://a/t?x=1&scope=repository%3aa%2fb%3apull");
}

}  // namespace
}  // namespace caisson::fetch
