"""Mining: neighbours under the trained encoder, graded before they are believed; and the rival miners."""
