// SPDX-License-Identifier: Apache-2.0
#include "metrics/shared_page.h"

#include <algorithm>
#include <memory>

namespace ese {

struct SharedPage::Text {
  std::string text;
  SharedPage* owner;
};

void SharedPage::Free(void* text) {
  const std::unique_ptr<Text> owned(static_cast<Text*>(text));
  --owned->owner->pages_;
}

SharedPage::~SharedPage() {
  if (page_ != nullptr) MHD_destroy_response(page_);
}

MHD_Response* SharedPage::Get() {
  const TimePoint start = clock_->Now();
  const Duration keep = pages_ > kMaxPages ? kMaxAge : std::min(kMaxAge, kAgePerCost * cost_);
  if (page_ != nullptr && start - rendered_ < keep) return page_;
  auto text = std::make_unique<Text>(Text{render_(), this});
  rendered_ = clock_->Now();
  cost_ = rendered_ - start;
  if (page_ != nullptr) MHD_destroy_response(page_);
  page_ = MHD_create_response_from_buffer_with_free_callback_cls(
      text->text.size(), text->text.data(), &SharedPage::Free, text.get());
  if (page_ == nullptr) return nullptr;
  static_cast<void>(text.release());  // Free deletes it
  ++pages_;
  MHD_add_response_header(page_, MHD_HTTP_HEADER_CONTENT_TYPE,
                          "text/plain; version=0.0.4; charset=utf-8");
  return page_;
}

}  // namespace ese
