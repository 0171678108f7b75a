"""Generated data with ground truth: the words, the tasks, and the prompts that people see."""
