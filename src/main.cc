#include "cli/main.h"

int main(int argc, char** argv) {
  return godwit::cli::main(argc, argv);
}
