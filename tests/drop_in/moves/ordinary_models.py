# moves
# packages: sklearn
# %%
# impure
import time
began = time.time()
import numpy as np
from sklearn.linear_model import LinearRegression
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.model_selection import train_test_split, KFold
from sklearn.datasets import load_iris
iris = load_iris()
X_train, X_test, y_train, y_test = train_test_split(iris.data, iris.target, random_state=0)
model = LinearRegression().fit(X_train, y_train)
forest = RandomForestClassifier(5, random_state=0).fit(X_train, y_train)
free = RandomForestClassifier(5).fit(X_train, y_train)
pipe = make_pipeline(StandardScaler(), LinearRegression()).fit(X_train, y_train)
folds = KFold(3)
predicted = forest.predict(X_test)
# %%
model.coef_.round(6).tolist(), forest.score(X_test, y_test), free.predict(X_test).tolist(), pipe.predict(X_test).round(6).tolist(), folds.n_splits
