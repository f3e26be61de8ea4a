"""ServableCheck: the export must load in a fresh process and answer real images as training did."""
