// SPDX-License-Identifier: Apache-2.0
// The page that many readers of /metrics share, so that their number costs neither memory nor time.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "base/clock.h"
#include "microhttpd.h"

namespace ese {

// Renders a page and keeps it for a short time. Not thread-safe.
class SharedPage {
 public:
  // A page is kept for this many times as long as it took to render, so that rendering takes less
  // than a tenth of a processor, but at most for kMaxAge.
  static constexpr int kAgePerCost = 10;
  static constexpr Duration kMaxAge = std::chrono::seconds(1);
  // While readers still receive this many pages, a page is kept for kMaxAge whatever it cost, so
  // that slow readers hold few pages.
  static constexpr int kMaxPages = 4;

  // `clock` must outlive the page.
  SharedPage(std::function<std::string()> render, const Clock* clock)
      : render_(std::move(render)), clock_(clock) {}
  // The responses that Get has returned must not be in use any more.
  ~SharedPage();
  SharedPage(const SharedPage&) = delete;
  SharedPage& operator=(const SharedPage&) = delete;

  // Returns an answer of at most kMaxAge, valid until the next call. Null if there is no memory.
  MHD_Response* Get();

 private:
  struct Text;

  static void Free(void* text);

  const std::function<std::string()> render_;
  const Clock* const clock_;
  MHD_Response* page_ = nullptr;
  TimePoint rendered_{};  // when rendering page_ ended
  Duration cost_{};       // of rendering page_
  int pages_ = 0;         // in use, page_ included
};

}  // namespace ese
