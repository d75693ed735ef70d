"""The benchmark: this product beside what people use, in the same run on the same files. Start it with tests/bench/run."""
