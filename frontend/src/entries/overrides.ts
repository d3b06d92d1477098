/** The page of overrides: many at once, and taking back what is planned. */

import "../elements/pb-many";
import "../elements/pb-release";
