"""Who asks: sardonyx's clients, Triton's and bare gRPC, each as its users do."""
