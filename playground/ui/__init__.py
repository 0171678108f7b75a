"""The browser side in Python: the Gradio shell, one file a page, theme, client components and served files."""
