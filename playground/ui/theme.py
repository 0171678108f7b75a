"""The look of Gradio's own controls: achromatic, system fonts, 1 px lines, no shadows. Colour is left to the data."""

import gradio as gr

SANS = ("-apple-system", "BlinkMacSystemFont", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "Liberation Mono", "monospace")

# role: (light, dark)
TOKENS = {
    "page": ("#F6F7F8", "#0F1216"),
    "panel": ("#FFFFFF", "#161A20"),
    "sunken": ("#ECEEF1", "#1E232A"),
    "line": ("#DADDE2", "#2A3038"),
    "line-2": ("#A7AEB8", "#56606C"),
    "ink": ("#14171C", "#EEF1F5"),
    "ink-2": ("#454B55", "#B9C0CA"),
    "ink-3": ("#646B76", "#8E97A3"),
    "alert": ("#A8182F", "#FF8593"),
    "alert-ground": ("#FBEDEF", "#2A1A1E"),
}

# Gradio's variable: the role it plays here
ROLES = {
    "body_background_fill": "page",
    "background_fill_primary": "page",
    "background_fill_secondary": "page",
    "block_background_fill": "page",
    "block_label_background_fill": "page",
    "input_background_fill": "panel",
    "input_background_fill_focus": "panel",
    "input_border_color": "line-2",
    "input_border_color_focus": "line-2",
    "input_placeholder_color": "ink-3",
    "border_color_primary": "line",
    "border_color_accent": "line-2",
    "border_color_accent_subdued": "line",
    "body_text_color": "ink",
    "body_text_color_subdued": "ink-3",
    "block_label_text_color": "ink-2",
    "block_title_text_color": "ink-2",
    "block_info_text_color": "ink-3",
    "link_text_color": "ink",
    "button_primary_background_fill": "ink",
    "button_primary_background_fill_hover": "ink-2",
    "button_primary_border_color": "ink",
    "button_primary_text_color": "page",
    "button_secondary_background_fill": "panel",
    "button_secondary_background_fill_hover": "sunken",
    "button_secondary_border_color": "line-2",
    "button_secondary_border_color_hover": "line-2",
    "button_secondary_text_color": "ink",
    "button_secondary_text_color_hover": "ink",
    "checkbox_background_color": "panel",
    "checkbox_label_background_fill": "panel",
    "checkbox_label_background_fill_hover": "sunken",
    "checkbox_label_background_fill_selected": "ink",
    "checkbox_label_border_color": "line-2",
    "checkbox_label_text_color": "ink-2",
    "checkbox_label_text_color_selected": "page",
    "color_accent_soft": "sunken",
    "loader_color": "ink",
    "slider_color": "ink",
    "error_background_fill": "alert-ground",
    "error_border_color": "alert",
    "error_text_color": "alert",
}
PLAIN = {
    "color_accent": "var(--ink)",
    "block_border_width": "0px",
    "block_shadow": "none",
    "block_padding": "0px",
    "block_radius": "0px",
    "block_label_text_size": "13px",
    "block_title_text_size": "13px",
    "block_title_text_weight": "600",
    "block_title_background_fill": "transparent",
    "block_title_padding": "0px",
    "body_text_size": "14px",
    "input_radius": "6px",
    "input_border_width": "1px",
    "input_shadow": "none",
    "input_shadow_focus": "none",
    "input_text_size": "14px",
    "button_large_radius": "6px",
    "button_small_radius": "6px",
    "button_large_text_size": "14px",
    "button_large_text_weight": "600",
    "button_border_width": "1px",
    "button_primary_shadow": "none",
    "button_primary_shadow_hover": "none",
    "button_primary_shadow_active": "none",
    "button_secondary_shadow": "none",
    "button_secondary_shadow_hover": "none",
    "button_secondary_shadow_active": "none",
    "button_transform_hover": "none",
    "button_transform_active": "none",
    "shadow_drop": "none",
    "shadow_drop_lg": "none",
    "layout_gap": "16px",
    "form_gap_width": "0px",
}


def build_theme() -> gr.themes.Base:
    """Gradio's Base with every colour replaced by one of ours, light and dark."""
    theme = gr.themes.Base(
        primary_hue="neutral", secondary_hue="neutral", neutral_hue="neutral", font=SANS, font_mono=MONO
    )
    values: dict[str, str] = dict(PLAIN)
    for name, role in ROLES.items():
        values[name], values[f"{name}_dark"] = TOKENS[role]
    return theme.set(**values)
