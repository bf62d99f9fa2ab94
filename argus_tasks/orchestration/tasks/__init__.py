"""The task that a config becomes, and the loop that submits them."""
