// The safetensors format (https://github.com/huggingface/safetensors): named tensors, and text about them, in one file.
#pragma once

#include "repopt/io/safetensors_reader.hpp"
#include "repopt/io/safetensors_writer.hpp"
