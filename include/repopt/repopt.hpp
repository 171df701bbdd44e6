// Everything that a training loop needs: core, optimizers and networks. File formats and the readers in repopt/io are
// not included here: include them one by one.
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
