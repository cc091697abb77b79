"""Encodings that several layers share."""
