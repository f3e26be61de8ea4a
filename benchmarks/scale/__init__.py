"""How each stage grows with records and classes, on generated data: real code, real records, no pixels decoded."""
