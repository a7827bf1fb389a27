// What most tests include anyway; see precompiled_library.h.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "precompiled_library.h"
