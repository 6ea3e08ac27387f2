"""Generated from protos/concert/v1. Do not edit."""
