"""The sweep file and its options: read, checked, and expanded to configs."""
