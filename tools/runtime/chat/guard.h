// What keeps llama.cpp's chat layer from ending the process that it is loaded into.
//
// Included before every source of it: recipe.py puts `sealift_guard();` at the beginning of each function that calls
// itself, as deep as a template, a schema or an answer wants.

#pragma once

#include <string>

// Throw when the stack, the time or the steps of the operation under way are used up.
void sealift_guard();

// Throw when JSON is nested more deeply than what llama.cpp walks by recursion should be.
void sealift_guard_nesting(const std::string & text);
