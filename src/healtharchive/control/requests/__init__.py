"""What a person wants, as pure planners: facts in, Plan out."""
