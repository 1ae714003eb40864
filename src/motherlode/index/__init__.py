"""Dense and lexical retrieval, blending, and the store that holds them."""
