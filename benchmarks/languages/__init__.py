"""Other languages: what their clients reach, beside bare gRPC and beside what they were chosen from."""
