// A sum over the processes of repopt::mpi, of which there is one.
#include <repopt/mpi/communicator.hpp>
#include <vector>

int main() {
  const repopt::mpi::Environment environment;
  const repopt::mpi::Communicator processes;
  std::vector<float> values{1, 2};
  processes.sum<float>(values);
  return processes.size() == 1 && values[1] == 2 ? 0 : 1;
}
