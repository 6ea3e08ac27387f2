"""Other languages: what their clients reach, beside what they were chosen from."""
