"""One module per study: its trial functions, what they measure, and nothing that draws."""
