"""A declarative reconciler for Active Directory migrations that puts every temporary setting back."""

__version__ = "0.1.0"
