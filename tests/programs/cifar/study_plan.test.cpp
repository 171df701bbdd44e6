#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "study/plan.hpp"

using namespace repopt_cifar;
using namespace repopt_cifar::study;

namespace {

std::vector<std::string> names(const StudyOptions& options) {
  std::vector<std::string> result;
  for (const PlannedRun& run : plan(options)) result.push_back(run.key.name());
  return result;
}

/// Returns the arguments of a variant's run, with a space before and after each.
std::string command(const std::string& variant) {
  StudyOptions options{.data = "DIR", .out = "OUT", .models = {"cifar-small"}, .variants = {variant}, .seeds = 1};
  std::string text = " ";
  for (const std::string& argument : train_arguments(options, plan(options).back())) text += argument + " ";
  return text;
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

}  // namespace

TEST_CASE("A study makes all runs of a seed before the next seed, and a search before the runs that use its scales") {
  const StudyOptions options{
      .models = {"cifar-small", "cifar-deep"}, .variants = {"rep-searched", "plain"}, .epochs = {3}, .seeds = 2};
  CHECK(names(options) ==
        std::vector<std::string>{"cifar-small-hyper_search-lr0.1-e3-s0", "cifar-small-plain-lr0.1-e3-s0",
                                 "cifar-small-rep-searched-lr0.1-e3-s0", "cifar-deep-hyper_search-lr0.1-e3-s0",
                                 "cifar-deep-plain-lr0.1-e3-s0", "cifar-deep-rep-searched-lr0.1-e3-s0",
                                 "cifar-small-hyper_search-lr0.1-e3-s1", "cifar-small-plain-lr0.1-e3-s1",
                                 "cifar-small-rep-searched-lr0.1-e3-s1", "cifar-deep-hyper_search-lr0.1-e3-s1",
                                 "cifar-deep-plain-lr0.1-e3-s1", "cifar-deep-rep-searched-lr0.1-e3-s1"});
}

TEST_CASE("Variants without searched scales need no Hyper-Search, and every run has a name of its own") {
  StudyOptions options{.variants = {"plain", "rep-sqrt", "repvgg"}, .epochs = {1, 2}, .lr = {0.1, 0.2}};
  for (const PlannedRun& run : plan(options)) {
    CHECK(run.search.empty());
    CHECK(run.key.variant != "hyper_search");
  }
  options.variants.clear();
  const std::vector<std::string> all = names(options);
  CHECK(std::set<std::string>(all.begin(), all.end()).size() == all.size());
  // For each of 2 models and 3 seeds: one search, and for each of 2 numbers of epochs 17 variants with 2 rates and 3
  // variants of AdamW with one rate.
  CHECK(all.size() == 2 * 3 * (1 + 2 * (17 * 2 + 3)));
}

TEST_CASE("Every run that takes scales comes after the search that finds them") {
  const std::vector<PlannedRun> runs = plan({.epochs = {1, 2}, .search_epochs = 7});
  std::set<std::string> before;
  for (const PlannedRun& run : runs) {
    CHECK((run.search.empty() || before.contains(run.search)));
    CHECK(run.search.empty() == !find_variant(run.key.variant).needs_search());
    before.insert(run.key.name());
  }
  CHECK(before.contains("cifar-deep-hyper_search-lr0.1-e7-s2"));
  CHECK_FALSE(before.contains("cifar-deep-hyper_search-lr0.1-e1-s2"));
}

TEST_CASE("The search whose scales other variants take is the run of hyper_search, and is planned once") {
  StudyOptions options{
      .models = {"cifar-small"}, .variants = {"rep-searched", "hyper_search"}, .epochs = {3}, .seeds = 1};
  CHECK(names(options) ==
        std::vector<std::string>{"cifar-small-hyper_search-lr0.1-e3-s0", "cifar-small-rep-searched-lr0.1-e3-s0"});
  CHECK(plan(options)[1].search == plan(options)[0].key.name());
  options.search_lr = 0.05;
  CHECK(names(options) ==
        std::vector<std::string>{"cifar-small-hyper_search-lr0.05-e3-s0", "cifar-small-rep-searched-lr0.1-e3-s0"});
  CHECK(plan(options)[1].search == plan(options)[0].key.name());
}

TEST_CASE("Each variant has its own mode, update rule, scales and options") {
  CHECK(contains(command("plain"), " --mode plain --optimizer sgd --lr 0.1 "));
  CHECK_FALSE(contains(command("plain"), "--scales"));
  CHECK(contains(command("rep-ones"), " --scales ones --initialization rule --grad-mult on "));
  CHECK(contains(command("rep-ordinary-init"), " --initialization ordinary --grad-mult on "));
  CHECK(contains(command("rep-no-grad-mult"), " --initialization rule --grad-mult off "));
  CHECK(contains(command("rep-identity-0.3"), " --mode rep --optimizer sgd "));
  CHECK(contains(command("rep-identity-0.3"), " --scales sqrt --identity-init 0.3 --out "));
  CHECK(contains(command("rep-identity-0.1"), " --scales sqrt --identity-init 0.1 --out "));
  CHECK(contains(command("rep-scale-0.5"), " --scales sqrt --scale-factor 0.5 --out "));
  CHECK(contains(command("repvgg-custom-l2"), " --mode repvgg "));
  CHECK(contains(command("repvgg-custom-l2"), " --custom-l2 --out "));
  CHECK(contains(command("qarepvgg"), " --mode qarepvgg "));
  for (const std::string prior : {"dbb", "edge", "asymmetric"}) {
    CHECK(contains(command(prior), " --mode folded "));
    CHECK(contains(command(prior), " --scales sqrt --prior " + prior + " --out "));
  }
  CHECK(contains(command("csla-adamw"), " --mode csla --optimizer adamw --lr 0.001 "));
  const std::string scales = " --scales OUT/runs/cifar-small-hyper_search-lr0.1-e12-s0/scales.safetensors ";
  CHECK(contains(command("rep-searched"), scales));
  CHECK_FALSE(contains(command("rep-searched"), "--average-scales"));
  CHECK(contains(command("rep-averaged"), scales + "--average-scales "));
  CHECK(contains(command("repvgg"), " --out OUT/runs/cifar-small-repvgg-lr0.1-e12-s0 --resume "));
}

TEST_CASE("A wrong option of a plan is refused with a message that names it or lists the choices") {
  CHECK_THROWS_WITH_AS(plan({.variants = {"rap"}}), doctest::Contains("the variants are hyper_search, plain, rep-"),
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS(plan({.models = {"cifar"}}), doctest::Contains("there is no model 'cifar'"),
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS(plan({.epochs = {1, 0}}), "--epochs must be positive", std::invalid_argument);
  CHECK_THROWS_WITH_AS(plan({.lr = {0.1, -1}}), "a learning rate must be > 0, one is -1", std::invalid_argument);
  CHECK_THROWS_WITH_AS(plan({.search_lr = 0}), "--search-lr must be > 0, it is 0", std::invalid_argument);
  CHECK_THROWS_WITH_AS(plan({.seeds = 0}), "--seeds must be positive", std::invalid_argument);
}
