"""What decision 15 chose between: code generators and transports for the TypeScript client, side by side.

    python -m benchmarks.languages.typescript_choices

Needs node, npm and the built client (`npm run make` in clients/typescript).
"""
