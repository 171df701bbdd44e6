// LibTorch before doctest: follow_stock.hpp says why.
#include "libtorch/follow_stock.hpp"

#include <doctest/doctest.h>

#include <stdexcept>
#include <vector>

#include "repopt/libtorch/warmup_cosine_lr.hpp"
#include "repopt/optim/lr_schedule.hpp"

using namespace repopt;
using namespace repopt::libtorch::testing;
using torch::Tensor;
using torch::optim::SGDOptions;

namespace {

torch::optim::SGD optimizer_of_two_groups() {
  std::vector<torch::optim::OptimizerParamGroup> groups;
  for (const double lr : {0.1, 0.3}) groups.emplace_back(std::vector{torch::ones(2)}, std::make_unique<SGDOptions>(lr));
  return torch::optim::SGD(groups, SGDOptions(1));
}

}  // namespace

TEST_CASE("The schedule gives each group the learning rates of repopt::WarmupCosineLr, also after a resume") {
  const libtorch::WarmupCosineLr::Options options{.warmup_steps = 3, .total_steps = 10, .final_lr = 0.01};
  torch::optim::SGD optimizer = optimizer_of_two_groups(), resumed = optimizer_of_two_groups();
  libtorch::WarmupCosineLr schedule(optimizer, options);
  auto from_step_5 = options;
  from_step_5.first_step = 5;
  libtorch::WarmupCosineLr schedule_from_step_5(resumed, from_step_5);
  for (std::size_t step = 0; step < 12; ++step, schedule.step()) {
    for (std::size_t group = 0; group < 2; ++group) {
      const double expected = WarmupCosineLr{group == 0 ? 0.1 : 0.3, 3, 10, 0.01}(step);
      CHECK(optimizer.param_groups()[group].options().get_lr() == expected);
      if (step >= 5) CHECK(resumed.param_groups()[group].options().get_lr() == expected);
    }
    if (step >= 5) schedule_from_step_5.step();
  }
}

TEST_CASE("A schedule whose warm-up is too long is refused before a learning rate changes") {
  torch::optim::SGD optimizer = optimizer_of_two_groups();
  CHECK_THROWS_WITH_AS(libtorch::WarmupCosineLr(optimizer, {.warmup_steps = 3, .total_steps = 3}),
                       "warmup_steps is 3, total_steps is 3", std::invalid_argument);
  CHECK(optimizer.param_groups()[0].options().get_lr() == 0.1);
}
