"""XGBoost: the Booster's own file, and what the file drops."""
