"""Plots of data, training and networks, by matplotlib (the extra ``plot``).

Every function draws into the Axes that it is given as `ax` and returns them; without `ax` it makes a figure by pyplot.
Nothing else of matplotlib's state is touched: no backend, no style, no rcParams. All arguments are checked before
anything is drawn.

Colours are Okabe and Ito's for classes and lines, cividis for values from low to high, and blue through white to
orange for values around 0, whose two arms differ in lightness as well. What a colour says is also said by a marker, a
line style, a width or a number, so that nothing is lost in grey or to a colour-blind reader.

============================ =========================================================================
`history`                    loss and validation curves
`decision_boundary`          the regions in which a network or classifier answers with each class
`hyperplane`                 a perceptron's hyperplane, its normal vector, its margin and its mistakes
`descent`                    the path of gradient descent over the contours of f
`network`                    units and weights, with the activations of one example where one is given
`trace`                      one example's way forward and backward, number by number
`weights`                    the first layer's weights as images
`confusion_matrix`           counts of true against predicted classes
`BoundaryAnimation`          a boundary being learned, as a GIF
============================ =========================================================================

References
----------
M. Okabe and K. Ito, "Color universal design", 2008. J. Nuñez, C. Anderton and R. Renslow, "Optimizing colormaps with
consideration for color vision deficiency", PLoS ONE 13, 2018 (cividis).
"""

from backprop.plot.animation import BoundaryAnimation
from backprop.plot.boundary import decision_boundary, hyperplane
from backprop.plot.curves import confusion_matrix, descent, history
from backprop.plot.diagrams import network, trace, weights

__all__ = ["BoundaryAnimation", "confusion_matrix", "decision_boundary", "descent", "history", "hyperplane", "network",
           "trace", "weights"]
