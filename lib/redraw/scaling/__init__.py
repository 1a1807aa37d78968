from redraw.scaling._surface import *  # temporary
