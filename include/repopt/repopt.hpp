// Everything a training loop needs: core, optimizers and nets. (File formats, in repopt/io, are included by
// themselves.)
#pragma once

#include "repopt/core/csla_block.hpp"
#include "repopt/core/grad_mult.hpp"
#include "repopt/nn/layers/cross_entropy.hpp"
#include "repopt/nn/models/builders.hpp"
#include "repopt/nn/models/reparameterize.hpp"
#include "repopt/nn/models/vgg.hpp"
#include "repopt/optim/ema.hpp"
#include "repopt/optim/lr_schedule.hpp"
#include "repopt/optim/rep_optimizer.hpp"
#include "repopt/version.hpp"
