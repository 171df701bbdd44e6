// The safetensors format (https://github.com/huggingface/safetensors): one file with named tensors and text about them.
#pragma once

#include "repopt/formats/safetensors_reader.hpp"
#include "repopt/formats/safetensors_writer.hpp"
