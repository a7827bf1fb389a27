#include "host_bench/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace quire::bench {
namespace {

constexpr int kWidth = 860;
constexpr int kLabelWidth = 330;
constexpr int kBarHeight = 13;
constexpr int kRowGap = 12;
// The longest bar shows this ratio; longer ones are cut off, and say what they are.
constexpr double kRatioMax = 5;
constexpr int kBarWidthMax = kWidth - kLabelWidth - 150;

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

std::string time_text(double ns) {
  if (ns < 1e3) return fmt::format("{:.0f} ns", ns);
  return ns < 1e6 ? fmt::format("{:.1f} us", ns / 1e3) : fmt::format("{:.1f} ms", ns / 1e6);
}

std::string text_at(int x, int y, const std::string& text, const char* how = "") {
  return fmt::format("<text x=\"{}\" y=\"{}\" {}>{}</text>\n", x, y, how, escaped(text));
}

}  // namespace

std::string draw_chart(const std::vector<RowResult>& results) {
  constexpr std::array<const char*, 5> kColours = {"#3465a4", "#4e9a06", "#c17d11", "#a40000",
                                                   "#888a85"};
  std::string body;
  int y = 24;
  for (const RowResult& row : results) {
    if (!row.not_measured.empty() || row.sides.empty()) continue;
    const double first = row.sides.front().ns_per_op.median;
    body += text_at(8, y, row.name, "font-weight=\"bold\"");
    for (std::size_t i = 0; i < row.sides.size(); ++i) {
      const RowResult::SideResult& side = row.sides[i];
      const double ratio = side.ns_per_op.median / first;
      const int width =
          std::max(1, static_cast<int>(std::min(ratio, kRatioMax) / kRatioMax * kBarWidthMax));
      body += text_at(kLabelWidth - 8, y, side.name, "text-anchor=\"end\"");
      body += fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\"/>\n",
                          kLabelWidth, y - kBarHeight + 3, width, kBarHeight - 2,
                          kColours[i % kColours.size()]);
      body += text_at(kLabelWidth + width + 6, y,
                      fmt::format("{} ({:.2f})", time_text(side.ns_per_op.median), ratio));
      y += kBarHeight;
    }
    y += kRowGap;
  }
  return fmt::format(
             "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" "
             "font-family=\"sans-serif\" font-size=\"11\">\n"
             "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
             kWidth, y) +
         body + "</svg>\n";
}

}  // namespace quire::bench
