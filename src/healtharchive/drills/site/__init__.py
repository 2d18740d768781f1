"""The bundled site of the demo: a health office that does not exist, in English and French, in two editions."""
