// A convolution of repopt::nn, trained by repopt::core, through the one header that includes both.
#include <repopt/repopt.hpp>

int main() {
  repopt::nn::Conv2d<float> conv(repopt::ConvShape::linear(2, 1));
  repopt::RepSgd<float> optimizer;
  optimizer.add_param_group({.lr = 1.0}).add_param("weight", conv.weight.value, conv.weight.grad);
  conv.weight.grad[1] = 1;
  optimizer.step();
  return conv.weight.value[1] == -1 ? 0 : 1;
}
