"""backprop"""
