"""Not public: the codec, the canonical request, keys' material, signing and verification."""
