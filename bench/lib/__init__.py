"""What the benchmarks share; each program in bench/ is one benchmark."""
