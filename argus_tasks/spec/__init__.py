"""The sweep file: read, checked, and expanded to configs."""
