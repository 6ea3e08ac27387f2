"""Other languages: what their clients reach, beside bare gRPC of the same language and beside what they were chosen from."""
