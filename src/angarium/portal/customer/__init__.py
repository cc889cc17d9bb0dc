"""Pages of a product's customers."""
