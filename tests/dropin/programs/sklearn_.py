"""scikit-learn: a grid search and a forest over processes."""

import way
import numpy
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.svm import SVC


def main():
    samples, labels = make_classification(120, random_state=0)
    search = GridSearchCV(SVC(), {"C": [0.1, 1, 10]}, n_jobs=2, cv=3).fit(samples, labels)
    alone = GridSearchCV(SVC(), {"C": [0.1, 1, 10]}, n_jobs=1, cv=3).fit(samples, labels)
    assert numpy.allclose(search.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"])
    forest = RandomForestClassifier(10, n_jobs=2, random_state=0)
    assert cross_val_score(forest, samples, labels, cv=3, n_jobs=2).mean() > 0.5
    way.check()


if __name__ == "__main__":
    main()
