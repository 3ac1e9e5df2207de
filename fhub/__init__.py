"""The connectors that come with Heddle, each a plugin written only against the SDK."""
