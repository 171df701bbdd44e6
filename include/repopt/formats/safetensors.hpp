// The safetensors format (https://github.com/huggingface/safetensors): named tensors, and text about them, in one file.
#pragma once

#include "repopt/formats/safetensors_reader.hpp"
#include "repopt/formats/safetensors_writer.hpp"
