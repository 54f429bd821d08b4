"""The small-model engine and its OpenAI server; installs without torch, Ray or Kubernetes."""
