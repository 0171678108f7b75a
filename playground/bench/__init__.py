"""Speed of the engines against public references, measured on this machine."""
